//! Our contract holds the original's, field by field.

use e2e::original;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// What this project adds to a message or an enumeration starts here.
const FIRST_OF_OURS: i32 = 16;

fn file(descriptors: &[u8]) -> FileDescriptorProto {
    let set = FileDescriptorSet::decode(descriptors).expect("descriptors");
    set.file.into_iter().find(|file| file.package() == "worker.v1").expect("the package")
}

/// Number, name, type, label and type name of a field: all that the wire depends on, and what JSON calls it.
fn fields(message: &DescriptorProto) -> Vec<(i32, &str, i32, i32, &str)> {
    let fields = message.field.iter();
    let fields = fields.map(|f| (f.number(), f.name(), f.r#type().into(), f.label().into(), f.type_name()));
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable();
    fields
}

fn values(item: &EnumDescriptorProto) -> Vec<(i32, &str)> {
    item.value.iter().map(|value| (value.number(), value.name())).collect()
}

#[test]
fn our_messages_are_the_originals_and_more_from_16_on() {
    let (ours, original) = (file(proto::v1::FILE_DESCRIPTOR_SET), file(original::FILE_DESCRIPTOR_SET));
    assert_eq!(original.message_type.len(), 7);
    for message in &original.message_type {
        let name = message.name();
        let mine = ours.message_type.iter().find(|other| other.name() == name);
        let mine = mine.unwrap_or_else(|| panic!("{name} is missing"));
        let (kept, added): (Vec<_>, Vec<_>) = fields(mine).into_iter().partition(|field| field.0 < FIRST_OF_OURS);
        assert_eq!(kept, fields(message), "{name}");
        assert!(added.iter().all(|field| field.0 >= FIRST_OF_OURS));
        assert_eq!(mine.nested_type, message.nested_type, "{name}: its maps");
    }
}

#[test]
fn our_statuses_are_the_originals_and_more_from_16_on() {
    let (ours, original) = (file(proto::v1::FILE_DESCRIPTOR_SET), file(original::FILE_DESCRIPTOR_SET));
    for item in &original.enum_type {
        let mine = ours.enum_type.iter().find(|other| other.name() == item.name()).expect("it is there");
        let (kept, added): (Vec<_>, Vec<_>) = values(mine).into_iter().partition(|value| value.0 < FIRST_OF_OURS);
        assert_eq!(kept, values(item), "{}", item.name());
        assert!(added.iter().all(|value| value.0 >= FIRST_OF_OURS));
    }
}

#[test]
fn our_service_begins_with_the_originals_methods() {
    let (ours, original) = (file(proto::v1::FILE_DESCRIPTOR_SET), file(original::FILE_DESCRIPTOR_SET));
    let [mine] = ours.service.as_slice() else { panic!("one service") };
    let [theirs] = original.service.as_slice() else { panic!("one service") };
    assert_eq!(mine.name(), theirs.name());
    assert_eq!(mine.method[..theirs.method.len()], theirs.method);
}
