#![no_main]

targets::fuzz!(targets::checkpoints::shard_index, targets::Format::Json);
