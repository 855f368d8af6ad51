//! The command line of both binaries: settings come from the environment, so there is little more than `--help`.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use crate::{VERSION, env::Setting};

/// What the binary was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Serve until stopped.
    Serve,
    /// Ask the server of this machine whether it is ready, and exit 0 or 1.
    Healthcheck,
}

/// The command line of binary `name`.
#[must_use]
pub fn command(name: &'static str, about: &'static str, settings: &[Setting]) -> Command {
    Command::new(name)
        .version(VERSION)
        .about(about)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .arg(Arg::new("version").short('V').long("version").action(ArgAction::Version).help("Print the version"))
        .subcommand(Command::new("healthcheck").about("Exit 0 when the server on this machine is ready, 1 otherwise"))
        .after_help(help(settings))
}

/// Parses this process's arguments; prints help or an error and exits where that is asked for.
#[must_use]
pub fn parse(command: Command) -> Action {
    match command.get_matches().subcommand_name() {
        Some("healthcheck") => Action::Healthcheck,
        _ => Action::Serve,
    }
}

/// The settings as they stand in `--help`.
#[must_use]
pub fn help(settings: &[Setting]) -> String {
    let width = settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let mut help = String::from("Settings (environment variables):\n");
    for Setting { name, default, help: text } in settings {
        let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        writeln!(help, "  {name:width$}  {text}{default}").expect("a String takes every write");
    }
    help
}

/// The settings as a Markdown table, as they stand in the README.
#[must_use]
pub fn markdown(settings: &[Setting]) -> String {
    let mut table = String::from("| variable | default | meaning |\n|---|---|---|\n");
    for Setting { name, default, help } in settings {
        let default = default.map_or_else(|| "–".to_owned(), |default| format!("`{default}`"));
        let help = help.replace('|', "\\|");
        writeln!(table, "| `{name}` | {default} | {help} |").expect("a String takes every write");
    }
    table
}
