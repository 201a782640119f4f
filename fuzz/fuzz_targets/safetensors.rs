#![no_main]

targets::fuzz!(
    targets::checkpoints::safetensors,
    targets::Format::Safetensors
);
