//! On which devices tests run: on every one that there is.

use std::io::Write as _;

use super::{DeviceChoice, ResolvedDevice};

/// Names devices that have to be there, as `cuda,vulkan`: where one is missing its tests fail.
const REQUIRED: &str = "STRATIGRAPH_TEST_DEVICES";

/// The CPU, and the first CUDA and Vulkan device of this machine.
///
/// A device that is missing is told, and no test runs on it. Where `CI` is set there has to be a
/// Vulkan device, if the tests are built for it; others only where they are named.
pub(crate) fn devices() -> Vec<DeviceChoice> {
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    let required = std::env::var(REQUIRED).unwrap_or_default();
    let mut devices = vec![DeviceChoice::Cpu];
    for (name, is_built, is_required) in [
        ("cuda", cfg!(feature = "cuda"), false),
        ("vulkan", cfg!(feature = "vulkan"), is_ci),
    ] {
        let is_named = required.split(',').any(|required| required == name);
        if !is_built && !is_named {
            continue;
        }
        let device: DeviceChoice = name.parse().unwrap();
        match device.resolve() {
            Ok(_) => devices.push(device),
            Err(error) if is_required || is_named => panic!("no device to test on: {error}"),
            // Not swallowed by the test runner, as what is printed is.
            Err(error) => writeln!(std::io::stderr(), "skipped on {name}: {error}").unwrap(),
        }
    }
    devices
}

/// [`devices`], found.
pub(crate) fn resolved_devices() -> impl Iterator<Item = ResolvedDevice> {
    devices().into_iter().map(|d| d.resolve().unwrap().device)
}
