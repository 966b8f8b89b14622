// Builds what the binary embeds, into the folder that is given: node build.mjs DIST FIXTURES. The same versions give the
// same bytes, which the check holds.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import * as sass from 'sass';

const [dist, fixtures] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, 'node_modules');
const line = (text) => (text.endsWith('\n') ? text : text + '\n');

await mkdir(dist, { recursive: true });
const css = sass.compile(join(here, 'app.scss'), { loadPaths: [here, modules], style: 'compressed', quietDeps: true, charset: false });
await writeFile(join(dist, 'app.css'), line(css.css));

for (const [from, to, format] of [['boot.js', 'boot.js', 'iife'], ['app.mjs', 'app.js', 'esm']]) {
  const out = await build({
    entryPoints: [join(here, from)], bundle: true, minify: true, format, target: 'es2020', charset: 'utf8',
    legalComments: 'none', write: false, absWorkingDir: here, logLevel: 'error',
  });
  await writeFile(join(dist, to), line(out.outputFiles[0].text));
}
for (const name of ['icon.svg', 'LICENCES.txt']) {
  await copyFile(join(here, name), join(dist, name));
}

// The cases that govuk-frontend ships for each component that is ported: what goes in, what must come out.
const ported = (await readFile(join(here, 'components.txt'), 'utf8')).split('\n').filter((name) => name && !name.startsWith('#'));
await mkdir(fixtures, { recursive: true });
for (const name of ported) {
  const file = join(modules, 'govuk-frontend/dist/govuk/components', name, 'fixtures.json');
  const cases = JSON.parse(await readFile(file, 'utf8')).fixtures.map(({ name, options, html }) => ({ name, options, html }));
  await writeFile(join(fixtures, `${name}.json`), `[\n${cases.map((c) => JSON.stringify(c)).join(',\n')}\n]\n`);
}
