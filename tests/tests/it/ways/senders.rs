use lapin::{
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};
use odograph::cli::client::Credentials;

use super::{CAR, Login, Ways, batch};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_who_should_not_and_who_does_sends_its_own_only() {
    let Some(mut ways) = Ways::start().await else { return };
    ways.platform.bridge();
    let (tenant, _, token) = ways.insured("insurer").await;
    let own = ways.device(&token, CAR, "dongle").await;
    let other = ways.device(&token, CAR, "phone").await;
    let payload = [batch("b-1", CAR)];
    let wrong = Login {
        id: own.id.clone(),
        secret: other.secret.clone(),
    };
    let refused = ways.mqtt(&wrong, &ways.topic(&own.id), &payload).await.unwrap_err();
    assert!(
        refused.contains("BadUserNamePassword") || refused.contains("NotAuthorized"),
        "{refused}"
    );
    for topic in [
        ways.topic(&other.id),
        format!("{}/{}/position", ways.prefix(), own.id),
        format!("{}/{}/telemetry/more", ways.prefix(), own.id),
        "anything".to_owned(),
    ] {
        assert!(ways.mqtt(&own, &topic, &payload).await.is_err(), "{topic}");
    }
    // With the client id of another one would throw it out.
    let topic = ways.topic(&own.id);
    assert!(ways.mqtt_as(&other.id, &own, &topic, &payload).await.is_err());
    // A device may not be a client, nor the other way round.
    let client = ways.platform.client(tenant, &["telemetry:write"]).await;
    let as_device = Login {
        id: client.id.to_string(),
        secret: client.secret.clone(),
    };
    assert!(
        ways.mqtt(&as_device, &ways.topic(&as_device.id), &payload)
            .await
            .is_err()
    );

    amqp_clients_only_publish_to_the_intake(&ways, &client).await;
    let reader = ways.platform.client(tenant, &["trips:read"]).await;
    assert!(ways.amqp(&reader).await.is_err());

    ways.mqtt(&own, &ways.topic(&own.id), &payload).await.unwrap();
    ways.received(tenant, 1).await;
    ways.revoke(&token, "dongle", &own).await;
    assert!(ways.mqtt(&own, &ways.topic(&own.id), &payload).await.is_err());
    let outcomes = ways.platform.outcomes(tenant).await;
    assert_eq!((outcomes.received, outcomes.accepted), (1, 1), "{outcomes:?}");
    ways.end().await;
}

/// Whatever else one tries costs it its channel.
async fn amqp_clients_only_publish_to_the_intake(ways: &Ways, client: &Credentials) {
    let wrong = Credentials {
        id: client.id,
        secret: "wrong".to_owned(),
        scopes: Vec::new(),
    };
    assert!(ways.amqp(&wrong).await.is_err());
    let said = |error: lapin::Error| error.to_string();
    let sending = ways.amqp(client).await.unwrap();
    let forged = sending.properties().with_user_id("guest".into());
    let error = sending
        .publish(&ways.exchange(), "", &batch("forged", CAR), forged)
        .await;
    assert!(said(error.unwrap_err()).contains("PRECONDITION"), "a forged user_id");
    for exchange in ["amq.topic", "amq.fanout", ""] {
        let sending = ways.amqp(client).await.unwrap();
        let queue = format!("{}.intake.amqp", ways.prefix());
        let published = sending.publish(exchange, &queue, b"{}", sending.properties()).await;
        assert!(said(published.unwrap_err()).contains("ACCESS"), "{exchange:?}");
    }
    for queue in [
        format!("{}.intake.amqp", ways.prefix()),
        format!("{}.intake.mqtt", ways.prefix()),
    ] {
        let sending = ways.amqp(client).await.unwrap();
        let options = BasicConsumeOptions::default();
        let read = sending
            .channel
            .basic_consume(queue.into(), "t".into(), options, FieldTable::default());
        assert!(said(read.await.unwrap_err()).contains("ACCESS"));
    }
    let sending = ways.amqp(client).await.unwrap();
    let declared = sending
        .channel
        .queue_declare("mine".into(), QueueDeclareOptions::default(), FieldTable::default());
    assert!(said(declared.await.unwrap_err()).contains("ACCESS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_broker_is_answered() {
    let Some(ways) = Ways::start().await else { return };
    let (tenant, _, token) = ways.insured("insurer").await;
    let device = ways.device(&token, CAR, "dongle").await;
    let http = reqwest::Client::new();
    let form = format!("username={}&password={}", device.id, device.secret);
    let ask = async |query: &str, form: &str| {
        let request = http
            .post(format!("{}/user{query}", ways.auth))
            .bearer_auth(&token)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let key = format!("?key={}", super::KEY);
    assert_eq!(ask(&key, &form).await, (200, "allow".to_owned()));
    for query in ["", "?key=", "?key=another", "?other=1"] {
        let (status, text) = ask(query, &form).await;
        assert_eq!((status, text.as_str()), (403, ""), "{query}");
    }
    // Not behind the API either.
    let beside = format!("/internal/rabbitmq/user{key}");
    let answer = ways.api.send(reqwest::Method::POST, &token, &beside, None).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let client = ways.platform.client(tenant, &["telemetry:write"]).await;
    let of_client = |secret: &str| format!("username={}&password={secret}", client.id);
    assert_eq!(ask(&key, &of_client(&client.secret)).await.1, "allow");
    // Guessing at a client's secret is slowed down as at the token endpoint.
    for _ in 0..10 {
        assert_eq!(ask(&key, &of_client("guess")).await.1, "deny");
    }
    assert_eq!(ask(&key, &of_client(&client.secret)).await.1, "deny");
    for nonsense in ["username=guest&password=guest", "username=&password=", "username=%00"] {
        assert_eq!(ask(&key, nonsense).await.1, "deny", "{nonsense}");
    }
    ways.end().await;
}
