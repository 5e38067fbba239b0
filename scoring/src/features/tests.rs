mod data;
mod oracle;
mod plan;
