#![no_main]

targets::fuzz!(targets::queries::query_arguments, targets::Format::Text);
