// Loaded before anything else, and plain JavaScript because it is what an older Node must still understand: npm puts
// the Node of the `node` package first on a script's path, and says nothing when it could not be installed.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `Syla needs Node 22.18 or later, and this is ${process.versions.node}.\n` +
      `"npm ci" installs one for Syla alone, but it was not installed; to do that now:\n` +
      `  npm rebuild node\n`,
  );
  process.exit(1);
}
