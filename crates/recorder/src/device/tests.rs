use super::*;

#[test]
fn devices_are_read_as_they_are_written() {
    for (text, device) in [
        ("auto", DeviceChoice::Auto),
        ("cpu", DeviceChoice::Cpu),
        ("cuda:0", DeviceChoice::Cuda(0)),
        ("cuda:12", DeviceChoice::Cuda(12)),
    ] {
        assert_eq!(text.parse(), Ok(device));
        assert_eq!(device.to_string(), text);
    }
    assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
    for wrong in [
        "", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda1",
    ] {
        assert_eq!(
            wrong.parse::<DeviceChoice>(),
            Err(ParseDeviceError(wrong.to_owned()))
        );
    }
}

#[test]
fn the_cpu_is_always_there_and_nobody_looks_for_cuda() {
    let resolution = DeviceChoice::Cpu
        .resolve_with(|| panic!("nobody asked for CUDA"))
        .unwrap();
    assert_eq!(resolution.device, ResolvedDevice::Cpu);
    assert_eq!(resolution.device.to_string(), "cpu");
}

#[test]
fn asking_for_cuda_where_it_is_missing_names_what_is_missing() {
    use CudaPart::{Driver, Headers, Nvrtc};
    let resolve = |missing: &[CudaPart]| {
        let missing = missing.to_vec();
        DeviceChoice::Cuda(0)
            .resolve_with(|| Err(CudaError::Missing(missing)))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        resolve(&[Driver]),
        "CUDA is not installed here, the NVIDIA driver's library (libcuda) is missing"
    );
    let all = resolve(&[Driver, Nvrtc, Headers]);
    for name in ["libcuda", "libnvrtc", "cuda_runtime.h"] {
        assert!(all.contains(name), "{all}");
    }
}

#[test]
fn auto_takes_the_cpu_and_says_why() {
    let resolution = DeviceChoice::Auto
        .resolve_with(|| Err(CudaError::Missing(vec![CudaPart::Nvrtc])))
        .unwrap();
    assert_eq!(resolution.device, ResolvedDevice::Cpu);
    assert!(
        resolution.reason.contains("libnvrtc"),
        "{}",
        resolution.reason
    );
}

#[cfg(feature = "cuda")]
#[test]
fn devices_are_counted_from_0() {
    let resolve = |choice: DeviceChoice, num_devices| {
        choice
            .resolve_with(|| Ok(num_devices))
            .map(|found| found.device)
    };
    assert_eq!(resolve(DeviceChoice::Auto, 2), Ok(ResolvedDevice::Cuda(0)));
    assert_eq!(resolve(DeviceChoice::Auto, 0), Ok(ResolvedDevice::Cpu));
    assert_eq!(
        resolve(DeviceChoice::Cuda(1), 2),
        Ok(ResolvedDevice::Cuda(1))
    );
    assert_eq!(resolve(DeviceChoice::Cuda(0), 0), Err(CudaError::NoDevice));
    assert_eq!(
        resolve(DeviceChoice::Cuda(2), 2),
        Err(CudaError::NoSuchDevice {
            index: 2,
            num_devices: 2
        })
    );
}

/// On whatever machine this runs.
#[test]
fn looking_for_cuda_here_does_not_panic() {
    let auto = DeviceChoice::Auto.resolve().unwrap();
    match DeviceChoice::Cuda(0).resolve() {
        Ok(found) => assert_eq!(found.device, auto.device),
        Err(error) => {
            assert_eq!(auto.device, ResolvedDevice::Cpu);
            assert!(auto.reason.contains(&error.to_string()));
        }
    }
}
