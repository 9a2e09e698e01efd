//! Turns the `.proto` files into Rust, and lists every RPC for the server's method table.
//! Called by Cargo. `protox` reads the files, so no protoc is needed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, error, fs};

use prost::Message as _;

const FILES: &[&str] = &[
    "etcdserverpb/kv.proto",
    "etcdserverpb/watch.proto",
    "etcdserverpb/lease.proto",
    "etcdserverpb/cluster.proto",
    "etcdserverpb/maintenance.proto",
    "etcdserverpb/auth.proto",
    "v3electionpb.proto",
    "v3lockpb.proto",
    "health.proto",
];

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-changed=protos");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = protox::compile(FILES, ["protos"])?;
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;

    let mut methods = String::from("&[\n");
    for file in &mut files.file {
        for message in &mut file.message_type {
            for field in &mut message.field {
                // Snake case of `peerURLs` would read `peer_ur_ls`. Only the Rust name changes.
                let name = field.name().replace("URLs", "Urls");
                field.name = Some(name);
            }
        }
        for service in &file.service {
            for method in &service.method {
                writeln!(
                    methods,
                    "(\"/{}.{}/{}\", {}, {}),",
                    file.package(),
                    service.name(),
                    method.name(),
                    method.client_streaming(),
                    method.server_streaming()
                )?;
            }
        }
    }
    methods.push(']');
    fs::write(out.join("methods.rs"), methods)?;

    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
