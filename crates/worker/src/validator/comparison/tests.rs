//! One rule at a time, on figures.
