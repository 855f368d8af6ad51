//! The documentation against the code: tables that are generated, and names that must exist.
//!
//! With `UPDATE_DOCS=1` the first test writes the tables instead of comparing them.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page: the README and what is below `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/adr"] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder of the repository");
        let files = entries.map(|entry| entry.expect("a readable folder").path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

/// `page` with `content` between the markers `<!-- NAME -->` and `<!-- /… -->`.
fn with_block(page: &str, name: &str, content: &str) -> Option<String> {
    let begin = format!("<!-- {name} -->\n");
    let (before, rest) = page.split_once(&begin)?;
    let end = rest.find("<!-- /")?;
    Some(format!("{before}{begin}{content}{}", &rest[end..]))
}

fn presets() -> String {
    let mut table = String::from("| preset | makes | output type |\n|---|---|---|\n");
    for preset in preset::ALL {
        let (name, summary, kind) = (preset.name, preset.summary, preset.output_type().name());
        writeln!(table, "| `{name}` | {summary} | `{kind}` |").expect("a String takes every write");
    }
    table
}

#[test]
fn the_readme_has_the_tables_of_the_code() {
    let page = read("README.md");
    let tables = [
        ("presets", presets()),
        ("settings:controlplane", service::cli::markdown(controlplane::config::SETTINGS)),
        ("settings:worker", service::cli::markdown(worker::config::SETTINGS)),
    ];
    let expected = tables.iter().fold(page.clone(), |page, (name, table)| {
        with_block(&page, name, table).unwrap_or_else(|| panic!("README.md: no block {name}"))
    });
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join("README.md"), &expected).expect("a writable README.md");
    } else {
        assert_eq!(page, expected, "to write the tables: UPDATE_DOCS=1 cargo test --workspace --test it docs");
    }
}

/// The parts of `text` between `begin` and `end` that hold no line end.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = text.split(begin).skip(1).filter_map(move |rest| rest.split_once(end));
    parts.map(|(part, _)| part).filter(|part| !part.contains('\n'))
}

#[test]
fn links_lead_to_files() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page that was listed");
        let folder = page.parent().expect("a file is in a folder");
        for link in between(&text, "](", ")").filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or_default();
            assert!(folder.join(file).exists(), "{}: {link}", page.display());
        }
    }
}

#[test]
fn files_that_are_named_exist() {
    let folders = ["crates/", "deploy/", "docs/", "proto/", "tests/"];
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page that was listed");
        let names = text.split('`').skip(1).step_by(2);
        for name in names.filter(|name| folders.iter().any(|folder| name.starts_with(folder))) {
            let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            assert!(!is_plain || root().join(name).exists(), "{}: {name}", page.display());
        }
    }
}

/// Words of `text` that begin with `prefix`.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_explained_and_no_other() {
    let documented = words(&read("docs/operations.md"), "flux_");
    let registered = words(&read("crates/controlplane/src/metrics.rs"), "flux_");
    // A histogram's name gets endings where it is queried.
    let base =
        |name: &String| ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end).map(str::to_owned));
    let documented: BTreeSet<_> = documented.iter().map(|name| base(name).unwrap_or_else(|| name.clone())).collect();
    assert_eq!(documented, registered);
}

#[test]
fn every_validation_code_is_explained() {
    let page = read("docs/presets.md");
    let source = read("crates/worker/src/validator/report.rs");
    let codes: Vec<_> = between(&source, "=> \"", "\"").collect();
    assert!(codes.contains(&"FILE_NOT_FOUND"), "the codes are written in another way now");
    for code in codes {
        assert!(page.contains(&format!("`{code}`")), "{code}");
    }
}

#[test]
fn every_route_is_described() {
    let page = read("docs/api.md");
    let document =
        read("crates/controlplane/src/api/snapshots/controlplane__api__tests__every_route_is_documented.snap");
    let routes: Vec<_> = between(&document, "    \"/", "\"").collect();
    assert!(routes.contains(&"health"), "the document is written in another way now");
    for route in routes {
        assert!(page.contains(&format!("/{route}`")), "/{route}");
    }
}

#[test]
fn every_setting_has_its_place_in_operations() {
    let page = read("docs/operations.md");
    for setting in controlplane::config::SETTINGS.iter().chain(worker::config::SETTINGS) {
        assert!(page.contains(&format!("`{}`", setting.name)), "{}", setting.name);
    }
}

#[test]
fn a_block_is_replaced_and_nothing_else() {
    let page = "a\n<!-- x -->\nold\n<!-- /x -->\nb <!-- x -->\n";
    let expected = "a\n<!-- x -->\nnew\n<!-- /x -->\nb <!-- x -->\n";
    assert_eq!(with_block(page, "x", "new\n").as_deref(), Some(expected));
    assert_eq!(with_block(page, "y", "new\n"), None);
}
