//! The REST interface, the binaries' settings and what they tell of themselves, over real workers.

mod access;
mod jobs;
mod observed;
mod settings;
