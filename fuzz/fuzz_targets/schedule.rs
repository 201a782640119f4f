#![no_main]

targets::fuzz!(targets::checkpoints::schedule, targets::Format::Text);
