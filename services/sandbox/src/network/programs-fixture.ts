// Programs in Python that talk to the proxy of their jail byte by byte.

/** Asks the proxy for a tunnel; `s` is it. */
export function connectCode(target: string): string {
  return [
    "import socket",
    "s = socket.create_connection(('127.0.0.1', 61080)); s.settimeout(10)",
    `s.sendall(b'CONNECT ${target} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')`,
    "head = b''",
    "while not head.endswith(b'\\r\\n\\r\\n'): head += s.recv(1)",
  ].join("\n");
}

const readAll = [
  "try:",
  "  while True:",
  "    part = s.recv(65536)",
  "    if not part: break",
  "    print(part.decode('latin1'))",
  "except OSError as e: print('ended', e)",
].join("\n");

/** Sends through a tunnel, and prints what comes back. */
export function tunnel(target: string, sent: string, more = ""): string {
  const end = sent === "" ? "" : "s.settimeout(2)";
  return [connectCode(target), more, `s.sendall(b'${sent}')`, end, readAll].join("\n");
}

/** Sends to the proxy, and prints what comes back. */
export function rawRequest(sent: string): string {
  return [
    "import socket",
    "s = socket.create_connection(('127.0.0.1', 61080)); s.settimeout(2)",
    `s.sendall(b'${sent}')`,
    readAll,
  ].join("\n");
}

/** Asks by TLS under a name, written as in Python. */
export function tlsThrough(target: string, name: string): string {
  return [
    connectCode(target),
    "import ssl",
    "c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE",
    "try:",
    `  t = c.wrap_socket(s, server_hostname=${name})`,
    "  t.sendall(b'GET / HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n')",
    "  print(t.recv(9999).decode().split('\\r\\n\\r\\n')[-1])",
    "except OSError as e: print('ended', e)",
  ].join("\n");
}
