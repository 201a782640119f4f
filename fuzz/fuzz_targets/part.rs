#![no_main]

targets::fuzz!(targets::runs::part, targets::Format::Parquet);
