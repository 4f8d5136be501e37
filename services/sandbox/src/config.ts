// Every setting of the sandbox service, with its default, its unit and its reason.
export interface SandboxConfig {
  readonly limits: "cgroup" | "rlimit";
  readonly cpus: number;
  readonly diskInodes: number;
}

export const sandboxDefaults: SandboxConfig = { limits: "cgroup", cpus: 2, diskInodes: 20_000 };
