//! What `revela --version` says.

use std::sync::LazyLock;

/// The commit that the program was built from; nothing where the build did not know.
pub(crate) const COMMIT: Option<&str> = option_env!("REVELA_COMMIT");

/// What it was built for.
pub(crate) const TARGET: &str = match option_env!("REVELA_TARGET") {
    Some(target) => target,
    None => std::env::consts::ARCH,
};

/// Version, commit, and what this processor runs.
pub(crate) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        let commit = COMMIT.map_or(String::new(), |commit| format!(" ({commit})"));
        let gpu = if cfg!(feature = "cuda") { "\ngpu: CUDA" } else { "" };
        format!("{version}{commit}\ntarget: {TARGET}\n{}{gpu}", cpu_path())
    });
    &TEXT
}

/// Which instruction sets are used here, chosen at run time.
pub(crate) fn cpu_path() -> String {
    let bf16 = if revela_model::cpu::bf16_is_native() { "AVX-512 BF16" } else { "emulated" };
    format!(
        "cpu: search {}, models {}, bf16 {bf16}",
        revela_index::instruction_set(),
        revela_model::cpu::instruction_set()
    )
}
