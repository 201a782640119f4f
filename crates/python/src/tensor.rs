//! Tensors of any framework, as 32-bit floats.
#![expect(
    unsafe_code,
    reason = "DLPack hands over pointers: their bounds are what the tensor's maker says"
)]

use dlpark::ffi::{DLDataType, DLDataTypeCode, DLDeviceType};
use dlpark::python::{ImportedDlpack, from_dlpack};
use dlpark::tensor::TensorRef;
use half::{bf16, f16};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A tensor in the host's memory, which its maker keeps there as long as this lives.
pub(crate) struct HostTensor {
    imported: ImportedDlpack,
    shape: Vec<usize>,
}

impl HostTensor {
    /// Takes part in a tensor of a framework that speaks DLPack, as PyTorch, numpy or JAX.
    ///
    /// # Errors
    /// If it does not, is on another device, or its values are no numbers that a trace can hold.
    pub(crate) fn import(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let imported = from_dlpack(object.as_borrowed(), None, None)?;
        let tensor = view(&imported)?;
        if tensor.device().device_type != DLDeviceType::CPU
            && tensor.device().device_type != DLDeviceType::CUDAHOST
        {
            return Err(PyValueError::new_err(
                "a tensor that is recorded is copied to the host first: this one is on a device",
            ));
        }
        Element::of(tensor.dtype())?;
        let shape = tensor.shape().iter().map(|&size| size as usize).collect();
        Ok(Self { imported, shape })
    }

    /// Its shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many values it has.
    pub(crate) fn num_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// A copy of its values, row-major, rounded to 32-bit floats. Python's lock is not needed.
    pub(crate) fn to_floats(&self) -> Vec<f32> {
        let tensor = view(&self.imported).expect("it was valid when it was imported");
        let element = Element::of(tensor.dtype()).expect("it was known when it was imported");
        match element {
            Element::F32 => copy(&tensor, |v: f32| v),
            Element::F64 => copy(&tensor, |v: f64| v as f32),
            Element::F16 => copy(&tensor, f16::to_f32),
            Element::Bf16 => copy(&tensor, bf16::to_f32),
            Element::I32 => copy(&tensor, |v: i32| v as f32),
            Element::I64 => copy(&tensor, |v: i64| v as f32),
            Element::U8 => copy(&tensor, |v: u8| f32::from(v)),
        }
    }

    /// Its values where they lie, if they are bytes, one behind the other. Python's lock is not needed.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        let tensor = view(&self.imported).expect("it was valid when it was imported");
        let element = Element::of(tensor.dtype()).expect("it was known when it was imported");
        if !matches!(element, Element::U8) || !tensor.is_compact().expect("it was valid") {
            return None;
        }
        let num_values = tensor.num_elements();
        if num_values == 0 {
            return Some(&[]);
        }
        // SAFETY: the maker says that these are values of the type on the host, which the import keeps alive for
        // as long as the slice lives, one behind the other.
        unsafe {
            let first = tensor.offset_bytes_ptr();
            let first = first.expect("a tensor with values has memory");
            Some(std::slice::from_raw_parts(first.cast::<u8>(), num_values))
        }
    }

    /// A copy of its values as classes; none if one of them is no whole number.
    pub(crate) fn to_classes(&self) -> Option<Vec<i32>> {
        let tensor = view(&self.imported).expect("it was valid when it was imported");
        match Element::of(tensor.dtype()).expect("it was known when it was imported") {
            Element::I32 => Some(copy(&tensor, |v: i32| v)),
            Element::I64 => {
                let values = copy(&tensor, |v: i64| i32::try_from(v).ok());
                values.into_iter().collect()
            }
            Element::U8 => Some(copy(&tensor, |v: u8| i32::from(v))),
            Element::F32 | Element::F64 | Element::F16 | Element::Bf16 => None,
        }
    }
}

/// The types of values that are understood.
#[derive(Clone, Copy)]
enum Element {
    F32,
    F64,
    F16,
    Bf16,
    I32,
    I64,
    U8,
}

impl Element {
    fn of(dtype: DLDataType) -> PyResult<Self> {
        Ok(match (dtype.code, dtype.bits, dtype.lanes) {
            (DLDataTypeCode::FLOAT, 32, 1) => Self::F32,
            (DLDataTypeCode::FLOAT, 64, 1) => Self::F64,
            (DLDataTypeCode::FLOAT, 16, 1) => Self::F16,
            (DLDataTypeCode::BFLOAT, 16, 1) => Self::Bf16,
            (DLDataTypeCode::INT, 32, 1) => Self::I32,
            (DLDataTypeCode::INT, 64, 1) => Self::I64,
            (DLDataTypeCode::UINT, 8, 1) | (DLDataTypeCode::BOOL, 8, 1) => Self::U8,
            _ => {
                return Err(PyTypeError::new_err(
                    "a trace holds floats of 16 to 64 bits and whole numbers of 8, 32 and 64 bits; \
                     convert the tensor to one of these",
                ));
            }
        })
    }
}

fn view(imported: &ImportedDlpack) -> PyResult<TensorRef<'_>> {
    let tensor = match imported {
        ImportedDlpack::Legacy(tensor) => tensor.validate(),
        ImportedDlpack::Versioned(tensor) => tensor.validate(),
    };
    tensor.map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Copies the values in the order of their indices, whatever the strides.
fn copy<T: Copy, U>(tensor: &TensorRef<'_>, convert: impl Fn(T) -> U) -> Vec<U> {
    let num_values = tensor.num_elements();
    if num_values == 0 {
        return Vec::new();
    }
    // SAFETY: the maker says that these are values of the type on the host, which the import keeps alive.
    let first = unsafe { tensor.offset_bytes_ptr() }.expect("a tensor with values has memory");
    let first = first.cast::<T>();
    let shape = tensor.shape();
    let strides = tensor.strides_or_compact().expect("it was valid");
    if tensor.is_compact().expect("it was valid") && first.is_aligned() {
        // SAFETY: as above, and compact: the values lie one behind the other.
        let values = unsafe { std::slice::from_raw_parts(first, num_values) };
        return values.iter().copied().map(convert).collect();
    }
    let mut index = vec![0i64; shape.len()];
    let mut offset = 0i64;
    let mut values = Vec::with_capacity(num_values);
    for _ in 0..num_values {
        // SAFETY: the offset is that of an index within the shape. A view of bytes may begin anywhere.
        values.push(convert(unsafe {
            first.offset(offset as isize).read_unaligned()
        }));
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            offset += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            offset -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    values
}
