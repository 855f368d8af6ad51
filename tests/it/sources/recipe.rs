//! How ffmpeg makes a source.

use std::path::PathBuf;

use e2e::clips;

/// What stands for `{name}` in a recipe: a second of picture or sound, and a quick encoder.
const PARTS: [(&str, &str); 5] = [
    ("{picture}", "-f lavfi -i testsrc2=size=160x90:rate=6:duration=1"),
    ("{picture25}", "-f lavfi -i testsrc2=size=160x90:rate=25:duration=1"),
    ("{sound}", "-f lavfi -i sine=frequency=440:duration=1"),
    ("{h264}", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
    ("{aac}", "-c:a aac"),
];

/// The source of this name. `{plain}` is an ordinary one to start from.
pub(super) fn make(name: &str, recipe: &str) -> PathBuf {
    let plain = || make("plain.mp4", "{picture25} {sound} {h264} {aac}").display().to_string();
    let recipe = if recipe.contains("{plain}") { recipe.replace("{plain}", &plain()) } else { recipe.to_owned() };
    let line = PARTS.iter().fold(recipe, |line, (part, meaning)| line.replace(part, meaning));
    clips::made(name, &line.split_whitespace().collect::<Vec<_>>())
}
