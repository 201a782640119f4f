#![no_main]

targets::fuzz!(
    targets::checkpoints::checkpoint_names,
    targets::Format::Text
);
