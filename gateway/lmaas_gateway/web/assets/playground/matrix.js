// How alike vectors are: the cosine of the angle between each two, in rows and columns in their order.
export function similarities(vectors) {
  const lengths = vectors.map((vector) => Math.hypot(...vector));
  return vectors.map((one, row) =>
    vectors.map((other, column) => (lengths[row] && lengths[column] ? dot(one, other) / lengths[row] / lengths[column] : 0)),
  );
}

function dot(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index += 1) sum += one[index] * other[index];
  return sum;
}

// The steps of the scale that the colours of a table go by: 0 for nothing alike, or opposite, to `steps` for the same.
export function stepOf(similarity, steps = 10) {
  return Math.round(Math.min(Math.max(similarity, 0), 1) * steps);
}

// Two digits; what rounds to nothing is nothing, on either side of it.
export function figureOf(similarity) {
  return similarity.toFixed(2).replace("-0.00", "0.00");
}
