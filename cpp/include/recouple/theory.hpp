// The tangent kernel of an infinitely wide two-layer ReLU network.
#pragma once

#include <cstddef>
#include <span>

namespace recouple {

// Gram matrix (n, n) of rows z (n, inputs): with theta the angle between z and z',
//   H = z.z' (pi - theta) / (2 pi)  [+ |z||z'| (sin theta + (pi - theta) cos theta) / (2 pi)],
// the bracket where the output weights are trained too. Angles come from |u - u'| and |u + u'| of
// the unit vectors, so that none loses digits. Throws std::invalid_argument on sizes that do not
// match, and on a row that is zero or not finite.
void ntk_gram(std::span<const double> z, std::size_t inputs, bool outputs, std::span<double> gram,
              int threads = 0);

}  // namespace recouple
