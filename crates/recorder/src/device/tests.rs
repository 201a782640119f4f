use super::*;

#[test]
fn devices_are_read_as_they_are_written() {
    for (text, device) in [
        ("auto", DeviceChoice::Auto),
        ("cpu", DeviceChoice::Cpu),
        ("cuda:0", DeviceChoice::Cuda(0)),
        ("cuda:12", DeviceChoice::Cuda(12)),
        ("vulkan:3", DeviceChoice::Vulkan(3)),
    ] {
        assert_eq!(text.parse(), Ok(device));
        assert_eq!(device.to_string(), text);
    }
    assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
    assert_eq!("vulkan".parse(), Ok(DeviceChoice::Vulkan(0)));
    for wrong in [
        "",
        "gpu",
        "CPU",
        "cuda:",
        "cuda:x",
        "cuda:-1",
        "cuda:+1",
        "cuda1",
        "vulkan:",
        "vulkan:-1",
        "vulkan2",
        "vulkan:0:1",
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
        .resolve_with(
            || panic!("nobody asked for CUDA"),
            || panic!("nobody asked for Vulkan"),
        )
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
            .resolve_with(
                || Err(CudaError::Missing(missing)),
                || panic!("nobody asked for Vulkan"),
            )
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
        .resolve_with(
            || Err(CudaError::Missing(vec![CudaPart::Nvrtc])),
            || panic!("auto means CUDA or the CPU"),
        )
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
            .resolve_with(|| Ok(num_devices), || panic!("nobody asked for Vulkan"))
            .map(|found| found.device)
    };
    assert_eq!(resolve(DeviceChoice::Auto, 2), Ok(ResolvedDevice::Cuda(0)));
    assert_eq!(resolve(DeviceChoice::Auto, 0), Ok(ResolvedDevice::Cpu));
    assert_eq!(
        resolve(DeviceChoice::Cuda(1), 2),
        Ok(ResolvedDevice::Cuda(1))
    );
    assert_eq!(
        resolve(DeviceChoice::Cuda(0), 0),
        Err(CudaError::NoDevice.into())
    );
    assert_eq!(
        resolve(DeviceChoice::Cuda(2), 2),
        Err(CudaError::NoSuchDevice {
            index: 2,
            num_devices: 2
        }
        .into())
    );
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_devices_are_counted_together_and_handed_to_burn_by_kind() {
    use AdapterKind::{Cpu, DiscreteGpu, IntegratedGpu};
    let adapter = |name: &str, kind| VulkanAdapter {
        name: name.to_owned(),
        kind,
    };
    let resolve = |index, adapters: &[VulkanAdapter]| {
        let adapters = adapters.to_vec();
        DeviceChoice::Vulkan(index)
            .resolve_with(|| panic!("nobody asked for CUDA"), || Ok(adapters))
    };
    let four = [
        adapter("one", DiscreteGpu),
        adapter("two", IntegratedGpu),
        adapter("three", DiscreteGpu),
        adapter("four", Cpu),
    ];
    let by_kind = [0, 1, 2, 3].map(|index| match resolve(index, &four).unwrap().device {
        ResolvedDevice::Vulkan(device) => {
            assert_eq!(device.index, index);
            burn::backend::wgpu::WgpuDevice::from(device)
        }
        other => panic!("not {other:?}"),
    });
    use burn::backend::wgpu::WgpuDevice;
    assert_eq!(
        by_kind,
        [
            WgpuDevice::DiscreteGpu(0),
            WgpuDevice::IntegratedGpu(0),
            WgpuDevice::DiscreteGpu(1),
            WgpuDevice::Cpu
        ]
    );
    let third = resolve(2, &four).unwrap();
    assert_eq!(third.device.to_string(), "vulkan:2");
    assert_eq!(third.reason, "Vulkan device 2 of 4: three, a graphics card");

    let error = resolve(4, &four[1..]).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no device vulkan:4, this machine has vulkan:0 (two, an integrated GPU), \
         vulkan:1 (three, a graphics card), vulkan:2 (four, software on the CPU)"
    );
    let error = resolve(0, &[]).unwrap_err().to_string();
    assert!(error.contains("mesa-vulkan-drivers"), "{error}");
}

#[cfg(not(feature = "vulkan"))]
#[test]
fn vulkan_that_was_not_built_is_told() {
    let error = DeviceChoice::Vulkan(0).resolve().unwrap_err();
    assert_eq!(error, VulkanError::NotCompiled.into());
    let error = error.to_string();
    assert!(error.contains("the feature \"vulkan\""), "{error}");
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
