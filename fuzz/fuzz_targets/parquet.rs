#![no_main]

targets::fuzz!(targets::data::parquet, targets::Format::Parquet);
