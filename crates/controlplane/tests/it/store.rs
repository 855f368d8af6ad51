//! Every store keeps the same promises: one suite for SQLite in a file, SQLite in memory and PostgreSQL.

mod broken;
mod callbacks;
mod changes;
mod documents;
mod durable;
mod jobs;
mod leases;
mod older;
mod pages;
mod queue;
mod steps;
mod tasks;
mod world;
