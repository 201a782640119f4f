#![no_main]

targets::fuzz!(targets::data::idx, targets::Format::Idx);
