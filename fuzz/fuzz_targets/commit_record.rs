#![no_main]

targets::fuzz!(targets::runs::commit_record, targets::Format::Json);
