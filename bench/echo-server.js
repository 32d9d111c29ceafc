// A bare gRPC server that sends each message back.
import { Server, ServerCredentials } from "@grpc/grpc-js";

const identity = (bytes) => bytes;
const server = new Server();
const echo = {
	path: "/bench.Echo/Echo",
	requestStream: true,
	responseStream: true,
	requestSerialize: identity,
	requestDeserialize: identity,
	responseSerialize: identity,
	responseDeserialize: identity,
};
server.addService(
	{ echo },
	{
		echo(call) {
			call.on("data", (bytes) => call.write(bytes));
			call.on("end", () => call.end());
			call.on("error", () => {});
		},
	},
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
	if (error) {
		throw error;
	}
	console.log(`serving at 127.0.0.1:${port}`);
});
