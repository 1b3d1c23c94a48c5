// node compile.mjs INPUT OUTPUT: Solidity's standard JSON from a file to a file. The package's own
// program writes to a pipe and ends before the pipe has taken more than 64 KiB.

import { readFileSync, writeFileSync } from 'node:fs';
import solc from 'solc';

const [input, output] = process.argv.slice(2);
writeFileSync(output, solc.compile(readFileSync(input, 'utf8')));
