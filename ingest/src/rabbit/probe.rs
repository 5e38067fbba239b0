//! A message of our own, put straight into a queue to see what it gives first.

use lapin::{
    BasicProperties, Confirmation, Connection,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions},
};

use super::topology::is_not_found;

/// `type` of such a message. Consumers drop it.
const KIND: &str = "odograph.probe";

pub(super) fn is_probe(properties: &BasicProperties) -> bool {
    properties.kind().as_ref().is_some_and(|kind| kind.as_str() == KIND)
}

/// Whether a message put into the queue is the first that it gives: then there was no other. True of a queue that is not
/// there.
pub(super) async fn comes_first(connection: &Connection, queue: &str) -> lapin::Result<bool> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    // By the default exchange, which routes by the name of a queue.
    let properties = BasicProperties::default().with_delivery_mode(2).with_type(KIND.into());
    let sent = channel
        .basic_publish("".into(), queue.into(), options, &[], properties)
        .await?;
    match sent.await? {
        Confirmation::Ack(None) => {}
        // No queue takes it.
        Confirmation::Ack(Some(_)) => return Ok(true),
        _ => return Ok(false),
    }
    let mut found = false;
    loop {
        let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await;
        let message = match got {
            Ok(Some(message)) => message.delivery,
            Ok(None) => break,
            Err(error) if is_not_found(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        if !is_probe(&message.properties) {
            let back = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            channel.basic_nack(message.delivery_tag, back).await?;
            return Ok(false);
        }
        // One that a look before has left goes as well.
        channel
            .basic_ack(message.delivery_tag, BasicAckOptions::default())
            .await?;
        found = true;
    }
    channel.close(200, "looked".into()).await?;
    Ok(found)
}
