#![no_main]

targets::fuzz!(targets::queries::query_header, targets::Format::Text);
