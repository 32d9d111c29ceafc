import { batchProcess } from "millrace/runtime";
import { DigitReader } from "./digit-reader.js";
import { readDigits } from "./digits.js";

await batchProcess(DigitReader, readDigits(), { batchSize: 50, checkpointInterval: 5 });
