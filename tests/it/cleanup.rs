//! What is left after a job that did not complete: nothing.

mod disk;
mod ffmpeg;
mod stops;
