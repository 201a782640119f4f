#![no_main]

targets::fuzz!(targets::checkpoints::layer_globs, targets::Format::Text);
