#![no_main]

targets::fuzz!(targets::runs::run_json, targets::Format::Json);
