//! A way to the broker that can be cut.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub(super) struct Proxy {
    port: u16,
    refusing: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// To the host and port of an AMQP URL.
    pub(super) async fn to(url: &str) -> Self {
        let target = authority(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let refusing = Arc::new(AtomicBool::new(false));
        let (cuts, _) = watch::channel(0);
        tokio::spawn({
            let (refusing, cuts) = (Arc::clone(&refusing), cuts.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    if !refusing.load(Ordering::Relaxed) {
                        tokio::spawn(carry(client, target.clone(), cuts.subscribe()));
                    }
                }
            }
        });
        Self { port, refusing, cuts }
    }

    /// The same URL by way of the proxy.
    pub(super) fn url(&self, url: &str) -> String {
        url.replacen(authority(url), &format!("127.0.0.1:{}", self.port), 1)
    }

    /// Ends every connection at once, without a word.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on lets nobody through, or everybody again.
    pub(super) fn refuse(&self, refuse: bool) {
        self.refusing.store(refuse, Ordering::Relaxed);
    }
}

async fn carry(mut client: TcpStream, target: String, mut cut: watch::Receiver<u32>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.changed() => {}
    }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    let authority = rest.split(['/', '?']).next().unwrap();
    authority.rsplit('@').next().unwrap()
}
