//! Holds JSON against a JSON Schema, as far as the schemas of the format go.
//!
//! A keyword that is not known here is an error, so that none is passed over in silence.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// What describes, and demands nothing.
const ANNOTATIONS: [&str; 4] = ["$schema", "$id", "title", "description"];

/// A JSON Schema of which every keyword is understood.
pub struct JsonSchema(Value);

impl JsonSchema {
    pub fn try_new(schema: Value) -> Result<Self> {
        understand(&schema)?;
        Ok(Self(schema))
    }

    /// The names of the properties of the object, and of those that it must have, in order.
    pub fn properties(&self) -> Result<(Vec<&str>, Vec<&str>)> {
        let mut all: Vec<&str> = object(&self.0["properties"])?
            .keys()
            .map(String::as_str)
            .collect();
        all.sort_unstable();
        let mut required = names(&self.0["required"])?;
        required.sort_unstable();
        Ok((all, required))
    }

    pub fn check(&self, value: &Value) -> Result<()> {
        check(&self.0, value)
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>> {
    value
        .as_object()
        .with_context(|| format!("{value} is no object"))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value
        .as_array()
        .with_context(|| format!("{value} is no list"))
}

fn names(value: &Value) -> Result<Vec<&str>> {
    list(value)?
        .iter()
        .map(|v| v.as_str().with_context(|| format!("{v} is no name")))
        .collect()
}

/// Looks at every keyword, also at those that no document would reach.
fn understand(schema: &Value) -> Result<()> {
    for (keyword, value) in object(schema)? {
        match keyword.as_str() {
            "properties" => object(value)?.values().try_for_each(understand)?,
            "items" => understand(value)?,
            "type" => types(value)?
                .into_iter()
                .try_for_each(|t| is_of(t, &Value::Null).map(drop))?,
            "required" => drop(names(value)?),
            "additionalProperties" => {
                ensure!(value.is_boolean(), "additionalProperties is {value}")
            }
            "minimum" | "maximum" | "minLength" | "maxLength" => {
                ensure!(value.is_i64(), "{keyword} is {value}");
            }
            "const" => {}
            "enum" => drop(list(value)?),
            annotation if ANNOTATIONS.contains(&annotation) => {}
            unknown => bail!("the keyword {unknown:?} is not understood"),
        }
    }
    Ok(())
}

fn types(value: &Value) -> Result<Vec<&str>> {
    value
        .as_str()
        .map_or_else(|| names(value), |one| Ok(vec![one]))
}

fn is_of(type_name: &str, value: &Value) -> Result<bool> {
    Ok(match type_name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => bail!("the type {other:?} is not understood"),
    })
}

fn check(schema: &Value, value: &Value) -> Result<()> {
    let schema = object(schema)?;
    for (keyword, demand) in schema {
        let holds = match keyword.as_str() {
            "type" => types(demand)?
                .into_iter()
                .map(|name| is_of(name, value))
                .collect::<Result<Vec<_>>>()?
                .contains(&true),
            "required" => value
                .as_object()
                .is_none_or(|o| names(demand).is_ok_and(|n| n.iter().all(|n| o.contains_key(*n)))),
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let is_known = |name: &String| known.is_some_and(|k| k.contains_key(name));
                demand == &Value::Bool(true)
                    || value.as_object().is_none_or(|o| o.keys().all(is_known))
            }
            "minimum" => value.as_i64().is_none_or(|n| demand.as_i64() <= Some(n)),
            "maximum" => value.as_u64().is_none_or(|n| demand.as_u64() >= Some(n)),
            "minLength" => length(value).is_none_or(|n| demand.as_u64() <= Some(n)),
            "maxLength" => length(value).is_none_or(|n| demand.as_u64() >= Some(n)),
            "const" => value == demand,
            "enum" => list(demand)?.contains(value),
            _ => true,
        };
        ensure!(holds, "{keyword} {demand} does not hold for {value}");
    }
    if let (Some(properties), Some(object)) = (schema.get("properties"), value.as_object()) {
        for (name, value) in object {
            if let Some(property) = properties.get(name) {
                check(property, value).with_context(|| name.clone())?;
            }
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for (index, value) in list.iter().enumerate() {
            check(items, value).with_context(|| index.to_string())?;
        }
    }
    Ok(())
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}
