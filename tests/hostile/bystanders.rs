//! Two people who chat while the server is under attack.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::whole::person::Person;
use crate::whole::process::Kim;

/// The goal is a second; what is more than this is no longer a slow machine but a server that stands still.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A conversation that goes on in the background.
pub struct Bystanders {
    stop: tokio::sync::watch::Sender<bool>,
    chat: JoinHandle<Chat>,
}

/// How the conversation went.
struct Chat {
    messages: usize,
    slowest: Duration,
}

impl Bystanders {
    /// Two people who greet each other without a pause.
    pub async fn of(kim: &Kim) -> Bystanders {
        let romeo = Person::online(kim, "romeo@localhost/orchard").await;
        let juliet = Person::online(kim, "juliet@localhost/balcony").await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let chat = tokio::spawn(async move {
            let (mut romeo, mut juliet) = (romeo, juliet);
            let mut chat = Chat {
                messages: 0,
                slowest: Duration::ZERO,
            };
            loop {
                let begun = Instant::now();
                romeo
                    .say("<message to='juliet@localhost' type='chat'><body>wilt thou?</body></message>")
                    .await;
                let heard = juliet.wait().await;
                assert!(heard.contains("wilt thou?"), "{heard}");
                juliet
                    .say("<message to='romeo@localhost' type='chat'><body>good night</body></message>")
                    .await;
                let heard = romeo.wait().await;
                assert!(heard.contains("good night"), "{heard}");
                chat.messages += 2;
                chat.slowest = chat.slowest.max(begun.elapsed());
                if *stopped.borrow() {
                    return chat;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Bystanders { stop, chat }
    }

    /// They must have talked all the time.
    pub async fn were_not_disturbed(self) {
        self.stop.send_replace(true);
        let chat = self.chat.await.expect("the bystanders' conversation");
        println!(
            "bystanders: {} messages, the slowest exchange took {:?}",
            chat.messages, chat.slowest
        );
        assert!(chat.slowest < WAIT_MAX, "an exchange took {:?}", chat.slowest);
    }
}
