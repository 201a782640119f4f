#![no_main]

targets::fuzz!(targets::data::csv, targets::Format::Text);
