//! The ways in beside HTTP: AMQP and MQTT senders, by a broker of the test's own that asks our API who they are.

mod bridge;
mod folder;
mod senders;
mod together;

use std::{net::TcpListener, path::Path, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use odograph::cli::client::Credentials;
use odograph_domain::id::TenantId;
use odograph_ingest::file::{self, BatchOptions, Gathered};
use odograph_tests::{
    Backend, TestBroker,
    http::Api,
    platform::{Insured, Platform},
    private_rabbit::{Options, PrivateRabbit},
    telemetry::{Rows, small_fleet},
};
use reqwest::Method;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

const KEY: &str = "thekeythatthebrokerknows";
const PATIENCE: Duration = Duration::from_secs(60);
/// Of the vehicle that [`Ways::insured`] insures.
const CAR: &str = "demo-vehicle-001";

/// A platform with an intake, and its broker. Give it back with [`Ways::end`].
struct Ways {
    rabbit: PrivateRabbit,
    platform: Platform,
    api: Api,
    auth: String,
}

/// What a device logs in with.
struct Login {
    id: String,
    secret: String,
}

impl Ways {
    /// `None` where there is no RabbitMQ to start, or no server to stand on.
    async fn start() -> Option<Self> {
        if Backend::chosen() == Backend::Embedded {
            println!("skipped: senders by the broker need a server");
            return None;
        }
        // The broker has to know where to ask before the API is there.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let auth = format!("http://127.0.0.1:{port}/internal/rabbitmq");
        let mut options = Options::plugins(&["rabbitmq_mqtt", "rabbitmq_auth_backend_http"])
            .with("auth_backends.1 = internal")
            .with("auth_backends.2 = http")
            .with("auth_http.http_method = post")
            .with("mqtt.allow_anonymous = false");
        for question in ["user", "vhost", "resource", "topic"] {
            options = options.with(format!("auth_http.{question}_path = {auth}/{question}?key={KEY}"));
        }
        let rabbit = PrivateRabbit::start(options).await?;
        let broker = TestBroker::at(rabbit.amqp_url(), Platform::PARTITIONS);
        let mut platform = Platform::start_on(Some(broker), |config| {
            config.intake.enabled = true;
            config.broker_auth.bind = format!("127.0.0.1:{port}");
            config.broker_auth.key = KEY.to_owned();
        })
        .await;
        let api = platform.serve().await;
        platform.work();
        Some(Self {
            rabbit,
            platform,
            api,
            auth,
        })
    }

    /// A tenant with an insured vehicle, its drives as rows, and a token that may do what these tests need.
    async fn insured(&self, name: &str) -> (TenantId, Rows, String) {
        // What comes live is else refused when it is too old.
        let tenant = self
            .platform
            .tenant_with(name, r#"{"accept":{"lateness_days":3660}}"#)
            .await;
        let fleet = small_fleet(1, 1);
        let rows = Rows::of_fleet(&fleet);
        let vehicle = &fleet[0];
        let insured = Insured {
            vehicle: vehicle.external_ref.clone(),
            driver: vehicle.driver.external_ref.clone(),
            product: vehicle.product,
            time_zone: chrono_tz::Tz::Europe__Berlin,
            starts_on: rows.first_day(CAR).expect("a first row"),
        };
        self.platform.insure(tenant, &[insured]).await;
        let scopes = ["vehicles:read", "vehicles:write", "telemetry:write", "deadletters:read"];
        let token = self.api.token(&self.platform.client(tenant, &scopes).await).await;
        (tenant, rows, token)
    }

    /// A device in the vehicle, and what it logs in with.
    async fn device(&self, token: &str, vehicle: &str, name: &str) -> Login {
        let device = json!({ "external_ref": name, "kind": "obd" });
        let made = self
            .api
            .post(token, &format!("/v1/vehicles/{vehicle}/devices"), &device)
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        self.login(token, name).await
    }

    async fn login(&self, token: &str, device: &str) -> Login {
        let path = format!("/v1/devices/{device}/credentials");
        let made = self.api.send(Method::POST, token, &path, None).await;
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        let text = |field: &str| made[field].as_str().expect("a text").to_owned();
        Login {
            id: text("id"),
            secret: text("secret"),
        }
    }

    async fn revoke(&self, token: &str, device: &str, login: &Login) {
        let path = format!("/v1/devices/{device}/credentials/{}", login.id);
        let revoked = self.api.send(Method::DELETE, token, &path, None).await;
        assert_eq!(revoked.status, 204, "{revoked:?}");
    }

    fn prefix(&self) -> &str {
        &self.platform.parts.config.queue.prefix
    }

    fn topic(&self, sender: &str) -> String {
        format!("{}/{sender}/telemetry", self.prefix())
    }

    fn exchange(&self) -> String {
        format!("{}.intake", self.prefix())
    }

    /// Publishes with QoS 1, and waits until the broker has acknowledged all.
    async fn mqtt(&self, login: &Login, topic: &str, payloads: &[Vec<u8>]) -> Result<(), String> {
        self.mqtt_as(&format!("{}-1", login.id), login, topic, payloads).await
    }

    async fn mqtt_as(&self, client: &str, login: &Login, topic: &str, payloads: &[Vec<u8>]) -> Result<(), String> {
        let mut options = MqttOptions::new(client, "127.0.0.1", self.rabbit.mqtt_port());
        options.set_credentials(&login.id, &login.secret);
        options.set_max_packet_size(1 << 20, 4 << 20);
        let (client, mut events) = AsyncClient::new(options, 100);
        let publishing = tokio::spawn({
            let (topic, payloads) = (topic.to_owned(), payloads.to_vec());
            async move {
                for payload in payloads {
                    if client.publish(&topic, QoS::AtLeastOnce, false, payload).await.is_err() {
                        // The broker has thrown us out, which the other side of this tells.
                        break;
                    }
                }
                client
            }
        });
        let mut acknowledged = 0;
        while acknowledged < payloads.len() {
            let event = tokio::time::timeout(PATIENCE, events.poll()).await;
            match event.map_err(|_| "the broker says nothing".to_owned())? {
                Ok(Event::Incoming(Packet::PubAck(_))) => acknowledged += 1,
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let client = publishing.await.expect("a publisher that does not panic");
        client.disconnect().await.map_err(|error| error.to_string())?;
        // To be sent, the farewell has to be polled for.
        let _ = tokio::time::timeout(Duration::from_secs(1), events.poll()).await;
        Ok(())
    }

    async fn amqp(&self, client: &Credentials) -> lapin::Result<Sending> {
        let url = self.rabbit.amqp_url_as(&client.id.to_string(), &client.secret);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Sending {
            channel,
            connection,
            exchange: self.exchange(),
            user: client.id.to_string(),
        })
    }

    /// Waits until the tenant has had outcomes of so many samples.
    async fn received(&self, tenant: TenantId, samples: u64) {
        for _ in 0..1200 {
            let received = self.platform.outcomes(tenant).await.received;
            assert!(received <= samples, "wanted {samples} samples, got {received}");
            if received == samples {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let outcomes = self.platform.outcomes(tenant).await;
        panic!("wanted {samples} samples, got {outcomes:?}");
    }

    /// The tenant's dead letters, as (reason, source), in order.
    async fn letters(&self, token: &str) -> Vec<(String, String)> {
        let listed = self.api.every(token, "/v1/dead-letters").await;
        let text = |letter: &Value, field: &str| letter[field].as_str().expect("a text").to_owned();
        let mut letters: Vec<_> = listed
            .iter()
            .map(|letter| (text(letter, "reason"), text(letter, "source")))
            .collect();
        letters.sort();
        letters
    }

    async fn end(self) {
        self.platform.end().await;
    }
}

/// An AMQP client that is logged in.
struct Sending {
    channel: Channel,
    #[expect(dead_code, reason = "the channel ends with it")]
    connection: Connection,
    exchange: String,
    user: String,
}

impl Sending {
    fn properties(&self) -> BasicProperties {
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_user_id(self.user.as_str().into())
            .with_content_type("application/json".into())
    }

    async fn send(&self, body: &[u8]) {
        let confirmed = self.publish(&self.exchange, "", body, self.properties()).await;
        assert_eq!(confirmed.expect("a confirm"), Confirmation::Ack(None));
    }

    async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<Confirmation> {
        let options = BasicPublishOptions::default();
        let sent = self
            .channel
            .basic_publish(exchange.into(), key.into(), options, body, properties);
        sent.await?.await
    }
}

/// The batches a file is sent as, and how many samples they hold.
fn batches(file: &Path, options: BatchOptions) -> (Vec<Vec<u8>>, u64) {
    let (mut payloads, mut samples) = (Vec::new(), 0);
    for gathered in file::batches(file::open(file).unwrap(), options) {
        let Gathered::Batch(batch) = gathered.unwrap() else {
            panic!("a bad row");
        };
        samples += u64::from(batch.samples);
        payloads.push(batch.payload);
    }
    (payloads, samples)
}

fn batch(id: &str, vehicle: &str) -> Vec<u8> {
    let sample = json!({ "ts": "2026-03-28T07:15:00Z", "speed_kmh": 50.0, "ignition": true });
    json!({ "schema": 1, "batch_id": id, "vehicle": vehicle, "samples": [sample] })
        .to_string()
        .into_bytes()
}
