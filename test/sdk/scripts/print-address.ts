import { connect } from "../../../src/sdk/connect.js";

const connection = await connect();
await connection.server.getServerInfo({});
console.log(`address=${connection.address}`);
