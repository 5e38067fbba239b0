//! How a device lies in the car: a rotation between the car's axes and its own.

use rand_chacha::ChaCha8Rng;

use crate::fleet::math::noise;

#[derive(Debug, Clone, Copy)]
pub(super) struct Mount([[f64; 3]; 3]);

impl Mount {
    pub(super) const ALIGNED: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);

    /// Any way round: a quaternion of random direction.
    pub(super) fn any(rng: &mut ChaCha8Rng) -> Self {
        let q: [f64; 4] = std::array::from_fn(|_| noise(rng));
        let length = q.iter().map(|part| part * part).sum::<f64>().sqrt();
        if length < 1e-6 {
            return Self::ALIGNED;
        }
        let [w, x, y, z] = q.map(|part| part / length);
        Self([
            [
                1.0 - 2.0 * (y * y + z * z),
                2.0 * (x * y - w * z),
                2.0 * (x * z + w * y),
            ],
            [
                2.0 * (x * y + w * z),
                1.0 - 2.0 * (x * x + z * z),
                2.0 * (y * z - w * x),
            ],
            [
                2.0 * (x * z - w * y),
                2.0 * (y * z + w * x),
                1.0 - 2.0 * (x * x + y * y),
            ],
        ])
    }

    pub(super) fn turn(&self, v: [f64; 3]) -> [f64; 3] {
        self.0.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }
}
