//! A topology that is given for a network, which states what a module cannot say.

use std::sync::Arc;

use capture::{NetworkLayers, UnitRows};
use trace::Topology;

use super::{ModuleError, ModuleLayers, Place};

impl ModuleLayers {
    /// Takes everything that is said of the layers from a topology, which states their order, their
    /// sources and non-linearities: a module cannot.
    pub(crate) fn with_topology(self, topology: Topology) -> Result<Self, ModuleError> {
        let other = |problem: String| ModuleError::OtherTopology(problem);
        let own = self.topology().layers();
        if topology.layers().len() != own.len() {
            let (given, own) = (topology.layers().len(), own.len());
            return Err(other(format!("it has {given} layers, the network {own}")));
        }
        // From a layer's place in the visit to its place in the topology.
        let mut to_given = vec![usize::MAX; own.len()];
        for (index, layer) in topology.layers().iter().enumerate() {
            let path = &layer.module_path;
            let found = own.iter().position(|own| own.module_path == *path);
            let found = found.ok_or_else(|| other(format!("the network has no {path:?}")))?;
            if own[found].shape != layer.shape || own[found].num_units != layer.num_units {
                let (given, own) = (&layer.shape, &own[found].shape);
                return Err(other(format!(
                    "it says that {path} is {given:?}, it is {own:?}"
                )));
            }
            to_given[found] = index;
        }
        if let Some(missing) = to_given.iter().position(|&index| index == usize::MAX) {
            let path = &own[missing].module_path;
            return Err(other(format!("it does not have {path:?}")));
        }
        let mut layers = topology.layers().to_vec();
        for (own, &given) in own.iter().zip(&to_given) {
            // What type the values have is known of the network alone.
            if layers[given].tensors.is_empty() {
                layers[given].tensors.clone_from(&own.tensors);
            }
        }
        let topology = Topology::try_new(layers)?;
        let rows = Arc::unwrap_or_clone(self.network).into_rows();
        let mut rows: Vec<(usize, UnitRows)> = to_given.iter().copied().zip(rows).collect();
        rows.sort_by_key(|(index, _)| *index);
        let rows = rows.into_iter().map(|(_, rows)| rows).collect();
        let places = self.places.into_iter().map(|place| {
            place.map(|place| Place {
                layer: to_given[place.layer],
                ..place
            })
        });
        Ok(Self {
            network: Arc::new(NetworkLayers::new(topology, rows)),
            places: places.collect(),
            device: self.device,
        })
    }
}

#[cfg(test)]
mod tests;
