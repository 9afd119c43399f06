import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/**
 * The module is also pasted into pages as an inline script, so `mount` and `inline` keep their names
 * at the top level, and no text of it may end the script element or open a comment in it.
 */
function pasteable(): Plugin {
  return {
    name: 'pasteable',
    enforce: 'post',
    generateBundle(_, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'chunk') continue;
        const exports = /export\s*\{([^}]*)\}\s*;?\s*$/;
        const found = exports.exec(file.code);
        if (!found) throw new Error('The module does not end with its exports.');
        const pairs = found[1]!.split(',').map((part) => {
          const [local, name] = part.trim().split(/\s+as\s+/);
          return [local!, name ?? local!] as const;
        });
        const renamed = pairs.filter(([local, name]) => local !== name);
        const names = pairs.map(([, name]) => name).sort().join(',');
        const head = renamed.map(([local, name]) => `${name}=${local}`).join(',');
        file.code = file.code.replace(exports, '').trimEnd();
        file.code += `\n${head ? `const ${head};` : ''}export{${names}};\n`;
        file.code = file.code.replace(/<(?=!--|\/?script)/gi, '\\x3c');
      }
    },
  };
}

export default defineConfig({
  plugins: [svelte({ compilerOptions: { css: 'external' } }), pasteable()],
  build: {
    target: 'es2022',
    outDir: '../src/whence/app/static',
    emptyOutDir: false,
    sourcemap: false,
    reportCompressedSize: true,
    // A library keeps its white space unless told otherwise.
    rolldownOptions: { output: { minify: true } },
    lib: { entry: 'src/index.ts', formats: ['es'], fileName: () => 'attention.js' },
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
} as Parameters<typeof defineConfig>[0]);
