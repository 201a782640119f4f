#![no_main]

targets::fuzz!(targets::runs::rollup, targets::Format::Parquet);
