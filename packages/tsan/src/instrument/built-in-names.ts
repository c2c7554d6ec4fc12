// Names of built-in functions that read or write views, or order threads. A call by such a name tells its site first, so that a report
// about what the built-in did can name the line. A name too many costs a store, one too few a line in a report.

const names = new Set(
  [
    // %TypedArray%, Array and their prototypes
    'at concat copyWithin entries every fill filter find findIndex findLast findLastIndex forEach from includes indexOf join keys',
    'lastIndexOf map of push reduce reduceRight reverse set setFromBase64 setFromHex slice some sort splice subarray toBase64 toHex',
    'toLocaleString toReversed toSorted toSpliced toString unshift values with',
    // Atomics
    'add and compareExchange exchange load notify or store sub wait waitAsync xor',
    // Buffer
    'byteLength compare copy copyBytesFrom equals swap16 swap32 swap64 toJSON write',
    // Reflect, Object, Function, JSON
    'apply assign call construct defineProperty fromEntries get getOwnPropertyDescriptor getOwnPropertyDescriptors stringify',
    // Encoding, cloning, messages
    'decode encodeInto grow isUtf8 postMessage structuredClone transcode',
    // Crypto, zlib and files
    'appendFile appendFileSync digest end final getRandomValues pipe random randomBytes randomFill randomFillSync read readFile readSync',
    'readv readvSync sign timingSafeEqual update verify writeFile writeFileSync writeSync writev writevSync',
    // Life of threads
    'close receiveMessageOnPort setEnvironmentData terminate',
    // Constructors
    'Array ArrayBuffer Blob Buffer DataView File Map Promise Response Set SharedArrayBuffer String Worker',
  ].flatMap((line) => line.split(' ')),
);

const families =
  /^(?:[gs]et(?:Big)?(?:Int|Uint|Float)\d+|(?:read|write)(?:Big)?(?:U?[Ii]nt|Float|Double)(?:\d*[BL]E|8)?|(?:ascii|base64|base64url|hex|latin1|ucs2|utf8)(?:Slice|Write)|(?:Big)?(?:Int|Uint|Float)\d+(?:Clamped)?Array|(?:de|in)flate\w*|g(?:un)?zip\w*|brotli\w*|zstd\w*|crc32)$/;

export function isBuiltInName(name: string): boolean {
  return names.has(name) || families.test(name);
}
