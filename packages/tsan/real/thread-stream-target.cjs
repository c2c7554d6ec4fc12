// What thread-stream.mjs' worker writes to: a file.

const { createWriteStream } = require('node:fs');
const { once } = require('node:events');

module.exports = async ({ target }) => {
  const stream = createWriteStream(target);
  await once(stream, 'open');
  return stream;
};
