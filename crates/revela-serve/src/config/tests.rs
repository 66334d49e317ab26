use super::*;

fn parse(text: &str) -> Result<Config, ServeError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("serve.toml");
    std::fs::write(&path, text).unwrap();
    Config::read(&path)
}

#[test]
fn a_file_sets_what_it_names_and_paths_are_beside_it() {
    let config = parse(
        "listen = \"127.0.0.1:0\"\naccess = \"read-write\"\n[[collections]]\nname = \"a\"\npath = \"x/a\"\n\
         [batching]\njoin = \"off\"\n[log]\nformat = \"json\"\n",
    )
    .unwrap();
    config.check(&[]).unwrap();
    assert!(config.collections[0].path.is_absolute() && config.collections[0].path.ends_with("x/a"));
    assert_eq!((config.access, config.batching.join), (Access::ReadWrite, Joining::Off));
    assert_eq!(config.batching.wait_ms, Batching::default().wait_ms);
}

#[test]
fn what_cannot_work_is_named() {
    let says = |text: &str, part: &str| {
        let error = parse(text).and_then(|config| config.check(&[])).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    };
    let one = "[[collections]]\nname = \"a\"\npath = \"a\"\n";
    says("", "collections");
    says("lisen = 1", "lisen");
    says(&format!("{one}{one}"), "two of the name");
    says(&format!("{one}[limits]\nk = 0"), "limits.k");
    says(&format!("{one}[limits]\nheader_bytes = 100"), "8192");
    says(&format!("{one}[cors]\norigins = [\"*\"]"), "cors.origins");
    let blake3 = Checksum::of(b"key");
    says(&format!("{one}[[keys]]\nname = \"k\"\nblake3 = \"{blake3}\"\nrate = 0.0"), "lets nothing");
    says(&format!("{one}[[keys]]\nname = \"k\"\nblake3 = \"abc\""), "BLAKE3");
}
