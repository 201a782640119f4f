//! Values of a tensor's own type as the 32-bit floats of a trace, and back.

use half::{bf16, f16};
use safetensors::Dtype;

/// A value that a 32-bit float does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InexactValue {
    /// Position in the tensor, row-major.
    pub(super) index: u64,
    /// The value, as people read it.
    pub(super) value: String,
}

/// What a trace can hold values of, as 32-bit floats.
pub(super) fn is_supported(dtype: Dtype) -> bool {
    use Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    is_float(dtype) || matches!(dtype, BOOL | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64)
}

/// Whether a 32-bit float holds every value of a supported type.
pub(super) fn always_fits(dtype: Dtype) -> bool {
    use Dtype::{F64, I32, I64, U32, U64};
    !matches!(dtype, F64 | I32 | I64 | U32 | U64)
}

/// Whether the type is one of floats, which an optimizer changes, as it never does integers.
pub(super) fn is_float(dtype: Dtype) -> bool {
    use Dtype::{BF16, F8_E4M3, F8_E5M2, F8_E8M0, F16, F32, F64};
    matches!(dtype, F8_E4M3 | F8_E5M2 | F8_E8M0 | F16 | BF16 | F32 | F64)
}

/// The type that holds every value of both, which a series has that changes from one to the other:
/// of two types of floats. None where nothing but being the same will do.
pub(super) fn common(a: Dtype, b: Dtype) -> Option<Dtype> {
    match (a, b) {
        _ if a == b => Some(a),
        _ if !is_float(a) || !is_float(b) => None,
        (Dtype::F64, _) | (_, Dtype::F64) => Some(Dtype::F64),
        _ => Some(Dtype::F32),
    }
}

/// Appends the little-endian values in `bytes`, a whole number of them, to `values`.
///
/// NaN keep their bits. Of a supported type, what a 32-bit float does not hold is rounded to the
/// nearest that is if `lossy` says so.
///
/// # Errors
/// Without `lossy`, the first value that would change.
///
/// # Panics
/// If the type is not supported.
pub(super) fn widen(
    dtype: Dtype,
    bytes: &[u8],
    lossy: bool,
    values: &mut Vec<f32>,
) -> Result<(), InexactValue> {
    match dtype {
        Dtype::F32 => extend(bytes, values, f32::from_le_bytes),
        Dtype::F16 => extend(bytes, values, |b| f16_to_f32(u16::from_le_bytes(b))),
        Dtype::BF16 => extend(bytes, values, |b| {
            f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
        }),
        Dtype::F8_E5M2 => extend(bytes, values, |[byte]| f16_to_f32(u16::from(byte) << 8)),
        Dtype::F8_E4M3 => extend(bytes, values, |[byte]| e4m3_to_f32(byte)),
        Dtype::F8_E8M0 => extend(bytes, values, |[byte]| e8m0_to_f32(byte)),
        Dtype::BOOL | Dtype::U8 => extend(bytes, values, |[byte]: [u8; 1]| f32::from(byte)),
        Dtype::I8 => extend(bytes, values, |b| f32::from(i8::from_le_bytes(b))),
        Dtype::U16 => extend(bytes, values, |b| f32::from(u16::from_le_bytes(b))),
        Dtype::I16 => extend(bytes, values, |b| f32::from(i16::from_le_bytes(b))),
        Dtype::F64 => {
            let same = |value: f64, float| f32_to_f64(float).to_bits() == value.to_bits();
            return extend_checked(bytes, lossy, values, f64::from_le_bytes, f64_to_f32, same);
        }
        // A float with as many bits as the integer holds every 32-bit float's whole part.
        Dtype::U32 => {
            let (to, same) = (
                |v| v as f32,
                |v: u32, float| f64::from(v) == f64::from(float),
            );
            return extend_checked(bytes, lossy, values, u32::from_le_bytes, to, same);
        }
        Dtype::I32 => {
            let (to, same) = (
                |v| v as f32,
                |v: i32, float| f64::from(v) == f64::from(float),
            );
            return extend_checked(bytes, lossy, values, i32::from_le_bytes, to, same);
        }
        Dtype::U64 => {
            let (to, same) = (|v| v as f32, |v: u64, float| i128::from(v) == float as i128);
            return extend_checked(bytes, lossy, values, u64::from_le_bytes, to, same);
        }
        Dtype::I64 => {
            let (to, same) = (|v| v as f32, |v: i64, float| i128::from(v) == float as i128);
            return extend_checked(bytes, lossy, values, i64::from_le_bytes, to, same);
        }
        _ => unreachable!("only supported types are read"),
    }
    Ok(())
}

/// Appends `values` to `bytes` in a tensor's own type, little-endian: what [`widen`] read, bit for
/// bit where it was exact.
///
/// # Panics
/// If the type is not supported.
pub(super) fn narrow(dtype: Dtype, values: &[f32], bytes: &mut Vec<u8>) {
    match dtype {
        Dtype::F32 => append(values, bytes, f32::to_le_bytes),
        Dtype::F16 => append(values, bytes, |v| f32_to_f16(v).to_le_bytes()),
        Dtype::BF16 => append(values, bytes, |v| f32_to_bf16(v).to_le_bytes()),
        Dtype::F64 => append(values, bytes, |v| f32_to_f64(v).to_le_bytes()),
        Dtype::F8_E5M2 => append(values, bytes, |v| [f32_to_e5m2(v)]),
        Dtype::F8_E4M3 => append(values, bytes, |v| [f32_to_e4m3(v)]),
        Dtype::F8_E8M0 => append(values, bytes, |v| [f32_to_e8m0(v)]),
        Dtype::BOOL | Dtype::U8 => append(values, bytes, |v| [v as u8]),
        Dtype::I8 => append(values, bytes, |v| (v as i8).to_le_bytes()),
        Dtype::U16 => append(values, bytes, |v| (v as u16).to_le_bytes()),
        Dtype::I16 => append(values, bytes, |v| (v as i16).to_le_bytes()),
        Dtype::U32 => append(values, bytes, |v| (v as u32).to_le_bytes()),
        Dtype::I32 => append(values, bytes, |v| (v as i32).to_le_bytes()),
        Dtype::U64 => append(values, bytes, |v| (v as u64).to_le_bytes()),
        Dtype::I64 => append(values, bytes, |v| (v as i64).to_le_bytes()),
        _ => unreachable!("only supported types are written"),
    }
}

fn extend<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, to: impl Fn([u8; N]) -> f32) {
    let (chunks, rest) = bytes.as_chunks();
    debug_assert!(rest.is_empty(), "a whole number of values");
    values.extend(chunks.iter().map(|chunk| to(*chunk)));
}

fn extend_checked<T: Copy + ToString, const N: usize>(
    bytes: &[u8],
    lossy: bool,
    values: &mut Vec<f32>,
    from: impl Fn([u8; N]) -> T,
    to: impl Fn(T) -> f32,
    same: impl Fn(T, f32) -> bool,
) -> Result<(), InexactValue> {
    let (chunks, rest) = bytes.as_chunks();
    debug_assert!(rest.is_empty(), "a whole number of values");
    for chunk in chunks {
        let value = from(*chunk);
        let float = to(value);
        if !lossy && !same(value, float) {
            return Err(InexactValue {
                index: values.len() as u64,
                value: value.to_string(),
            });
        }
        values.push(float);
    }
    Ok(())
}

fn append<const N: usize>(values: &[f32], bytes: &mut Vec<u8>, to: impl Fn(f32) -> [u8; N]) {
    bytes.extend(values.iter().flat_map(|value| to(*value)));
}

// Conversions by the processor or by `half` make a signalling NaN a quiet one: NaN go by their bits.

fn f16_to_f32(bits: u16) -> f32 {
    let value = f16::from_bits(bits);
    if !value.is_nan() {
        return value.to_f32();
    }
    let (sign, mantissa) = (u32::from(bits >> 15), u32::from(bits & 0x3ff));
    f32::from_bits(sign << 31 | 0x7f80_0000 | mantissa << 13)
}

fn f32_to_f16(value: f32) -> u16 {
    if !value.is_nan() {
        return f16::from_f32(value).to_bits();
    }
    let bits = value.to_bits();
    let (sign, mantissa) = (bits >> 31, (bits & 0x7f_ffff) >> 13);
    // A NaN whose upper bits are 0 would become an infinity.
    (sign << 15 | 0x7c00 | if mantissa == 0 { 0x200 } else { mantissa }) as u16
}

fn f32_to_bf16(value: f32) -> u16 {
    if !value.is_nan() {
        return bf16::from_f32(value).to_bits();
    }
    let upper = (value.to_bits() >> 16) as u16;
    if upper & 0x7f == 0 {
        upper | 0x40
    } else {
        upper
    }
}

// 8-bit floats by the OCP's specifications (OFP8, and MX for E8M0). Every one of them is a 32-bit
// float; back goes what came from one.

/// The upper byte of a 16-bit float: sign, 5 bits of exponent, 2 of mantissa.
fn f32_to_e5m2(value: f32) -> u8 {
    let [_, upper] = f32_to_f16(value).to_le_bytes();
    upper
}

/// Sign, 4 bits of exponent (bias 7), 3 of mantissa; no infinities, and one NaN a sign.
fn e4m3_to_f32(byte: u8) -> f32 {
    let (exponent, mantissa) = (u32::from(byte >> 3 & 0xf), u32::from(byte & 0x7));
    let sign = u32::from(byte >> 7) << 31;
    let magnitude = match (exponent, mantissa) {
        (0xf, 0x7) => 0x7fc0_0000,
        // Subnormal: eighths of the smallest power, 2^-6.
        (0, _) => (mantissa as f32 / 512.0).to_bits(),
        _ => (exponent + 120) << 23 | mantissa << 20,
    };
    f32::from_bits(sign | magnitude)
}

fn f32_to_e4m3(value: f32) -> u8 {
    let bits = value.to_bits();
    let magnitude = match value.abs() {
        size if size.is_nan() => 0x7f,
        size if size < 1.0 / 64.0 => (size * 512.0) as u8,
        _ => ((bits >> 20 & 0x7ff) - (120 << 3)).min(0x7e) as u8,
    };
    (bits >> 31 << 7) as u8 | magnitude
}

/// Powers of two from 2^-127 on, without a sign; the last is NaN. The scales of MX blocks.
fn e8m0_to_f32(byte: u8) -> f32 {
    f32::from_bits(match byte {
        0 => 0x0040_0000,
        0xff => 0x7fc0_0000,
        _ => u32::from(byte) << 23,
    })
}

fn f32_to_e8m0(value: f32) -> u8 {
    match value.is_nan() {
        true => 0xff,
        false => (value.to_bits() >> 23) as u8,
    }
}

fn f64_to_f32(value: f64) -> f32 {
    if !value.is_nan() {
        return value as f32;
    }
    let bits = value.to_bits();
    let sign = (bits >> 63) as u32;
    let mantissa = ((bits & 0xf_ffff_ffff_ffff) >> 29) as u32;
    f32::from_bits(sign << 31 | 0x7f80_0000 | if mantissa == 0 { 0x40_0000 } else { mantissa })
}

fn f32_to_f64(value: f32) -> f64 {
    if !value.is_nan() {
        return f64::from(value);
    }
    let bits = u64::from(value.to_bits());
    f64::from_bits((bits >> 31) << 63 | 0x7ff0_0000_0000_0000 | (bits & 0x7f_ffff) << 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
        let mut values = Vec::new();
        widen(dtype, bytes, false, &mut values).unwrap();
        let mut back = Vec::new();
        narrow(dtype, &values, &mut back);
        assert_eq!(back, bytes, "{dtype}");
        values
    }

    #[test]
    fn every_16_bit_value_comes_back_bit_for_bit() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for dtype in [Dtype::F16, Dtype::BF16, Dtype::U16, Dtype::I16] {
            there_and_back(dtype, &all);
        }
        // 1.5, the smallest subnormal, -0 and -infinity.
        let halves = [0x3e00u16, 0x0001, 0x8000, 0xfc00].map(u16::to_le_bytes);
        let halves = there_and_back(Dtype::F16, halves.as_flattened());
        assert_eq!(halves[..2], [1.5, 2f32.powi(-24)]);
        assert_eq!(halves[2].to_bits(), (-0f32).to_bits());
        assert_eq!(halves[3], f32::NEG_INFINITY);
        let brains = [0x3fc0u16, 0xff80].map(u16::to_le_bytes);
        let brains = there_and_back(Dtype::BF16, brains.as_flattened());
        assert_eq!(brains, [1.5, f32::NEG_INFINITY]);
    }

    #[test]
    fn nan_keep_their_bits() {
        let floats = [0x7f80_0001u32, 0xffc1_2345].map(u32::to_le_bytes);
        there_and_back(Dtype::F32, floats.as_flattened());
        let wide = [0x7ff0_0000_2000_0000u64, 0xfff8_0000_0000_0000].map(u64::to_le_bytes);
        let values = there_and_back(Dtype::F64, wide.as_flattened());
        assert!(values.iter().all(|value| value.is_nan()));
    }

    #[test]
    fn every_8_bit_float_is_a_32_bit_one_and_comes_back_bit_for_bit() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let [e4m3, e5m2, e8m0] = [Dtype::F8_E4M3, Dtype::F8_E5M2, Dtype::F8_E8M0]
            .map(|dtype| there_and_back(dtype, &all));
        // (-1)^sign * 2^(exponent - bias) * 1.mantissa, and 0.mantissa of the smallest exponent.
        for (bits, value) in [
            (0x38, 1.0),
            (0x3c, 1.5),
            (0x40, 2.0),
            (0x7e, 448.0),
            (0x08, 2f32.powi(-6)),
            (0x01, 2f32.powi(-9)),
            (0x07, 7.0 * 2f32.powi(-9)),
            (0xb8, -1.0),
        ] {
            assert_eq!(e4m3[bits], value, "{bits:#x}");
        }
        assert!(e4m3[0x7f].is_nan() && e4m3[0xff].is_nan());
        assert_eq!(e4m3[0x80].to_bits(), (-0f32).to_bits());
        assert_eq!(e4m3.iter().filter(|v| !v.is_finite()).count(), 2);
        for (bits, value) in [
            (0x3c, 1.0),
            (0x3e, 1.5),
            (0x7b, 57344.0),
            (0x7c, f32::INFINITY),
            (0x01, 2f32.powi(-16)),
            (0xc0, -2.0),
        ] {
            assert_eq!(e5m2[bits], value, "{bits:#x}");
        }
        assert_eq!(e5m2.iter().filter(|v| v.is_nan()).count(), 6);
        for (bits, value) in [(0, -127), (1, -126), (127, 0), (254, 127)] {
            assert_eq!(e8m0[bits], 2f32.powi(value), "{bits}");
        }
        assert!(e8m0[255].is_nan());
    }

    #[test]
    fn what_a_series_may_change_between_is_held_by_one_type() {
        use Dtype::{BF16, F16, F32, F64, I32, I64};
        for (a, b, expected) in [
            (F32, F32, Some(F32)),
            (F32, BF16, Some(F32)),
            (F16, BF16, Some(F32)),
            (Dtype::F8_E4M3, F16, Some(F32)),
            (BF16, F64, Some(F64)),
            (I64, I64, Some(I64)),
            (I32, I64, None),
            (F32, I32, None),
        ] {
            assert_eq!(common(a, b), expected);
            assert_eq!(common(b, a), expected);
        }
    }

    #[test]
    fn wider_types_are_held_where_they_fit() {
        let fits: Vec<u8> = [0i64, -1, 1 << 24, i64::MIN]
            .into_iter()
            .flat_map(i64::to_le_bytes)
            .collect();
        let values = there_and_back(Dtype::I64, &fits);
        assert_eq!(values, [0.0, -1.0, 16_777_216.0, -(2f32.powi(63))]);
        assert_eq!(there_and_back(Dtype::F64, &0.5f64.to_le_bytes()), [0.5]);
        assert_eq!(there_and_back(Dtype::BOOL, &[0, 1]), [0.0, 1.0]);
        for dtype in [Dtype::U8, Dtype::I8] {
            there_and_back(dtype, &(0..=u8::MAX).collect::<Vec<u8>>());
        }
        let words = [0u32, 1 << 31].map(u32::to_le_bytes);
        there_and_back(Dtype::U32, words.as_flattened());
        there_and_back(Dtype::I32, words.as_flattened());
        there_and_back(Dtype::U64, &(1u64 << 63).to_le_bytes());
    }

    #[test]
    fn what_does_not_fit_is_an_error_or_rounded_as_asked() {
        let odd: i32 = (1 << 24) + 1;
        for (dtype, bytes, value) in [
            (
                Dtype::I64,
                i64::from(odd).to_le_bytes().to_vec(),
                "16777217",
            ),
            (
                Dtype::U64,
                u64::MAX.to_le_bytes().to_vec(),
                "18446744073709551615",
            ),
            (Dtype::I32, odd.to_le_bytes().to_vec(), "16777217"),
            (Dtype::U32, u32::MAX.to_le_bytes().to_vec(), "4294967295"),
            (Dtype::F64, 0.1f64.to_le_bytes().to_vec(), "0.1"),
            (Dtype::F64, 1e300f64.to_le_bytes().to_vec(), "1"),
        ] {
            let mut values = vec![7.0];
            let error = widen(dtype, &bytes, false, &mut values).unwrap_err();
            assert_eq!(error.index, 1);
            assert!(error.value.starts_with(value), "{}", error.value);
            widen(dtype, &bytes, true, &mut values).unwrap();
            assert_eq!(values.len(), 2);
        }
        let mut values = Vec::new();
        widen(Dtype::F64, &0.1f64.to_le_bytes(), true, &mut values).unwrap();
        assert_eq!(values, [0.1f32]);
    }
}
