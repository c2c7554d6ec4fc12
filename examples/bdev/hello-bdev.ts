// SPDK's hello_bdev, on every core: an application with a disk in memory. Each core opens it, writes a greeting to a block of its own and reads it back.
//
//     npm run example -- bdev/hello-bdev
import { App, allowedCores, bdevRegistry } from 'tspdk';
import { bdevSubsystem } from 'tspdk/target';
import { greet, url } from './_hello-io.ts';

const BLOCK = 4096;

process.exitCode = await App.start(
  { name: 'hello_bdev', cores: allowedCores().slice(0, 4), subsystems: [bdevSubsystem], modules: [url] },
  async (app) => {
    const bdevs = bdevRegistry(app.reactor);
    const bdev = await bdevs.create('malloc', { name: 'Malloc0', block_size: BLOCK, num_blocks: 16_384 });
    for (const [at, core] of app.cores.entries()) {
      const greeting = { bdev: bdev.name, byteOffset: at * BLOCK, text: `Hello World from core ${core}!` };
      console.log(await app.call(core, greet, greeting));
    }
    const [{ stat }] = await bdevs.stat([bdev.name]);
    console.log(`${stat.counts('write').bytes} bytes written`);
    app.stop(0);
  },
);
