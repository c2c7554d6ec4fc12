// The smallest application: a reactor on every core, one round of greetings, an orderly end.
import { App, allowedCores, forEachReactorAsync } from 'tspdk';
import { hello, url } from './hello-event.ts';

process.exitCode = await App.start({ cores: allowedCores(), modules: [url] }, async (app) => {
  await forEachReactorAsync(app.reactor, hello);
  app.stop(0);
});
