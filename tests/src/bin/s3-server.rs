//! An S3 server over a folder, for tests and for trying things out.
//!
//! `s3-server FOLDER BUCKET ACCESS_KEY SECRET_KEY [PORT]` makes the bucket, prints `listening on 127.0.0.1:PORT` and
//! serves until it is killed. Without a port the system picks one.

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, ensure};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3Service, service::S3ServiceBuilder};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    ensure!(matches!(args.len(), 4 | 5), "usage: s3-server FOLDER BUCKET ACCESS_KEY SECRET_KEY [PORT]");
    let port = args.get(4).map_or(Ok(0), |port| port.parse()).context("PORT")?;
    let service = service(Path::new(&args[0]), &args[1], &args[2], &args[3])?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.context("cannot listen")?;
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    serve(listener, service).await
}

fn service(folder: &Path, bucket: &str, access_key: &str, secret_key: &str) -> anyhow::Result<S3Service> {
    std::fs::create_dir_all(folder.join(bucket)).with_context(|| format!("cannot make {}", folder.display()))?;
    let files = s3s_fs::FileSystem::new(folder).map_err(|error| anyhow::anyhow!("cannot use the folder: {error:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    Ok(builder.build())
}

async fn serve(listener: TcpListener, service: S3Service) -> anyhow::Result<()> {
    loop {
        let (socket, _) = listener.accept().await.context("cannot accept")?;
        let service = service.clone();
        tokio::spawn(async move {
            let connection = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is its own business.
            let _ = connection.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
